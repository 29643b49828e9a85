// Package traffic is the pipeline: it stands between the entrances and
// everything that knows something about a message, and turns a transaction into
// a verdict. The steps are, one file each:
//
//	begin    pin the snapshot, count                  engine.go
//	identify who is it, which workspace               judge.go
//	decide   bypass and access rules on the header    decide.go
//	inspect  take the body apart and scan it          inspect.go
//	weigh    access and protection rules per object   weigh.go
//	fail     what the settings name for a failure     fail.go
//	reply    the page or redirect for the user        reply.go
//	record   exactly one event                        record.go
//
// It never touches a socket, never reads settings, and never lets a failure of
// judging out as anything but a verdict.
package traffic
