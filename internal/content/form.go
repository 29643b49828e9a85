package content

import (
	"bytes"
	"io"
)

const minFormValue = 32 // bytes of a form value that is worth a look

// expandForm visits the decoded values of a web form (WHATWG URL, section 5).
func (k *walk) expandForm(o *Object) error {
	size := o.Data.Size()
	for from := int64(0); from < size; {
		end, err := k.find(o.Data, from, size, []byte("&"))
		if err != nil {
			return err
		}
		if end < 0 {
			end = size
		}
		if err := k.formValue(o, from, end); err != nil {
			return err
		}
		from = end + 1
	}
	return nil
}

func (k *walk) formValue(o *Object, from, end int64) error {
	if end-from < minFormValue {
		return nil
	}
	head := readAt(o.Data, from, min(end-from, 1024))
	name := "value"
	if i := bytes.IndexByte(head, '='); i >= 0 {
		b, err := io.ReadAll(&percentReader{src: &source{buf: head[:i], c: bytesView(head[:i]), next: int64(i), end: int64(i)}, plus: true})
		if err == nil && len(b) > 0 {
			name = string(b)
		}
		from += int64(i) + 1
	}
	if end-from < minFormValue {
		return nil
	}
	plus := !keepsPlus(readAt(o.Data, from, min(end-from, 4096)))
	src := newSource(k.ctx, o.Data, from, end-from)
	return k.member(o, child{name: name, src: &percentReader{src: src, plus: plus}})
}

// keepsPlus tells whether a value is base64 whose sender forgot to escape "+".
func keepsPlus(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' {
			if i+2 < len(b) && b[i+1] == '2' && b[i+2] == '0' {
				return false
			}
			i += 2
			continue
		}
		if b64[b[i]] == 0xff && b[i] != '=' {
			return false
		}
	}
	return true
}
