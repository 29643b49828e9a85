// Package content says what a body is and takes it apart: content codings,
// multipart and form uploads, mail, archives, disk images, documents, and
// whatever hides in their gaps. It hands every object it finds to the caller,
// parents before members, and tells honestly what it could not look into.
//
// Every byte comes from an attacker. All work is bounded by Limits and the
// context, decoder windows by a budget of memory, unpacked objects by the
// spool.Store; a decoder that panics is a damaged container, not a crash.
//
// It never judges what it finds, never talks to an engine, knows no rule and no
// settings, and never writes anywhere but into its spool.Store.
package content
