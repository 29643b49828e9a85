package content

// pdfOpens tells whether the empty user password opens the document, so that
// any reader shows it.
func (k *walk) pdfOpens(_ *Object, _ []byte) bool { return false }
