package content

import (
	"path"
	"strings"
)

// unsupported are archives that nothing here can open: they are never clean.
var unsupported = map[string]bool{"ace": true, "arj": true, "lzh": true, "xar": true}

// probe finds out what o is and plans how to take it apart. err is a stop.
func (k *walk) probe(o *Object) (plan []expander, err error) {
	defer func() {
		if x := recover(); x != nil {
			k.fault(o.Path, decoderPanic(x))
			plan, err = nil, nil
		}
	}()
	if o.Encrypted {
		o.Type, o.MIME = "data", TypeMIME("data")
		return nil, nil
	}
	head := readAt(o.Data, 0, sniffLen)
	o.Type = Sniff(head)
	if m := readAt(o.Data, isoMark, 5); string(m) == "CD001" && o.Type != "zip" {
		o.Type = "iso"
	}
	if unsupported[o.Type] {
		k.fault(o.Path, errUnsupported("unpacking "+o.Type))
	}
	plan = append(plan, k.declared(o)...)
	if f := k.byType(o, head); f != nil {
		plan = append(plan, f)
	}
	more, err := k.hidden(o)
	if err != nil {
		return nil, err
	}
	o.MIME = TypeMIME(o.Type)
	return append(plan, more...), nil
}

// declared plans what the message or part says it is: multipart, mail or form.
func (k *walk) declared(o *Object) (plan []expander) {
	switch {
	case isMultipart(o.DeclaredMIME):
		if isTextType(o.Type) || o.Type == "data" {
			o.Type = "multipart"
		}
		plan = append(plan, func() error { return k.expandMultipart(o) })
	case isMailType(o.DeclaredMIME),
		mailNames[strings.ToLower(path.Ext(o.Name))]:
		if isTextType(o.Type) || o.Type == "data" {
			o.Type = "eml"
		}
	case o.DeclaredMIME == "application/x-www-form-urlencoded":
		if isTextType(o.Type) || o.Type == "data" {
			o.Type = "form"
		}
		plan = append(plan, func() error { return k.expandForm(o) })
	}
	return plan
}

var mailNames = map[string]bool{".eml": true, ".mht": true, ".mhtml": true, ".mbox": true}

func isMailType(mime string) bool {
	return mime == "message/rfc822" || mime == "message/global" || mime == "application/http" || mime == "application/mbox"
}

func isMultipart(mime string) bool { return strings.HasPrefix(mime, "multipart/") }

func isTextType(id string) bool {
	switch id {
	case "text", "html", "xml", "svg", "json", "php", "script", "bat", "eml", "form", "multipart", "css", "javascript":
		return true
	}
	return false
}

// byType plans by what the bytes are. It may refine o.Type and set its flags.
func (k *walk) byType(o *Object, head []byte) expander {
	switch o.Type {
	case "zip":
		return k.probeZip(o)
	case "7z":
		return k.probeSevenZip(o)
	case "rar":
		return k.probeRAR(o)
	case "gzip", "bzip2", "xz", "zstd", "lz4", "z":
		return k.probeStream(o, o.Type)
	case "lzma":
		return func() error { return k.expandStream(o, o.Data, "lzma", streamName(o.Name, "lzma"), true) }
	case "ole":
		return k.probeOLE(o)
	case "pdf":
		return k.probePDF(o)
	case "swf":
		return k.probeSWF(o, head)
	case "pe", "elf", "macho", "script", "crx":
		return k.probeCarve(o, o.Data.Size())
	case "data":
		return k.probeGuess(o, head)
	}
	return k.plain(o)
}

// plain plans for the types whose members show only while they are unpacked.
func (k *walk) plain(o *Object) expander {
	switch o.Type {
	case "tar":
		return func() error { return k.expandTar(o) }
	case "cab":
		return func() error { return k.expandCab(o, o.Data) }
	case "iso":
		return func() error { return k.expandISO(o) }
	case "ar":
		return func() error { return k.expandAr(o) }
	case "cpio":
		return func() error { return k.expandCpio(o) }
	case "rpm":
		return func() error { return k.expandRPM(o) }
	case "rtf":
		return func() error { return k.expandRTF(o) }
	case "eml":
		return func() error { return k.expandMail(o) }
	}
	return nil
}

// hidden plans for what can hide in any object: a ZIP appended to it, another
// archive behind a harmless front, and base64 in text.
func (k *walk) hidden(o *Object) (plan []expander, err error) {
	if !isZipType(o.Type) && o.Data.Size() >= eocdLen && hasEOCD(o.Data) {
		if f := k.probeAppendedZip(o); f != nil {
			plan = append(plan, f)
		}
	}
	if simpleType(o.Type) || isTextType(o.Type) || o.Type == "pdf" || o.Type == "rtf" {
		if f := k.probeCarve(o, carveFront); f != nil {
			plan = append(plan, f)
		}
	}
	if k.searched(o) {
		runs, err := k.findRuns(o.Data)
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			plan = append(plan, func() error { return k.expandRuns(o, runs) })
		}
		if f := k.probeUU(o); f != nil {
			plan = append(plan, f)
		}
	}
	return plan, nil
}

// searched tells whether base64 is looked for in o: in text whose parts are not
// visited on their own.
func (k *walk) searched(o *Object) bool {
	switch o.Type {
	case "form", "multipart":
		return false
	case "eml":
		_, body, _ := parsePart(readAt(o.Data, 0, maxPartHeader))
		return body == 0
	}
	return isTextType(o.Type) || o.Type == "rtf"
}
