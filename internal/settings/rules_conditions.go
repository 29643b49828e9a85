package settings

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// key is one key of an initiator or a criterion with what its values must be.
type key struct {
	name   string
	values Strings
	check  func(string) error
}

func (v *rulesValidator) initiators(path string, c *Initiators) {
	v.anyAll(path, c.Any != nil, c.All != nil, len(c.Any), len(c.All))
	v.initiatorList(path+".any", c.Any)
	v.initiatorList(path+".all", c.All)
}

func (v *rulesValidator) criteria(path string, t table, c *Criteria) {
	v.anyAll(path, c.Any != nil, c.All != nil, len(c.Any), len(c.All))
	v.criterionList(path+".any", t, c.Any)
	v.criterionList(path+".all", t, c.All)
}

func (v *rulesValidator) anyAll(path string, hasAny, hasAll bool, numAny, numAll int) {
	switch {
	case hasAny && hasAll:
		v.errs.Add(path, "write any or all, not both; a second condition fits into an exclusion or a rule of its own")
	case hasAny && numAny == 0, hasAll && numAll == 0:
		v.errs.Add(path, "the list is empty; write at least one item or leave the key out")
	}
}

func (v *rulesValidator) initiatorList(path string, list []Initiator) {
	if len(list) > maxItems {
		v.errs.Add(path, "there are %d items, more than %d; one item can hold a list of values", len(list), maxItems)
		return
	}
	for i := range list {
		it := &list[i]
		v.item(fmt.Sprintf("%s[%d]", path, i), "user, group, address or agent", []key{
			{"user", it.User, v.pattern}, {"group", it.Group, v.pattern},
			{"address", it.Address, checkAddress}, {"agent", it.Agent, v.pattern},
		})
	}
}

func (v *rulesValidator) criterionList(path string, t table, list []Criterion) {
	if len(list) > maxItems {
		v.errs.Add(path, "there are %d items, more than %d; one item can hold a list of values", len(list), maxItems)
		return
	}
	for i := range list {
		c, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		v.item(at, "url, mime, part_mime, type, file_name, size, md5, sha256, direction, method or length", []key{
			{"url", c.URL, v.pattern}, {"mime", c.MIME, checkMIME}, {"part_mime", c.PartMIME, checkMIME},
			{"type", c.Type, checkWord}, {"file_name", c.FileName, v.pattern}, {"size", c.Size, checkSize},
			{"md5", c.MD5, checkHex(32)}, {"sha256", c.SHA256, checkHex(64)},
			{"direction", oneText(c.Direction), checkDirection}, {"method", c.Method, checkMethod},
			{"length", c.Length, checkSize},
		})
		if c.Length != nil && t != bypassTable {
			v.errs.Add(at+".length", "length belongs to bypass rules; use size, which counts the object itself")
		}
		if t == bypassTable && (c.Type != nil || c.FileName != nil || c.Size != nil || c.MD5 != nil || c.SHA256 != nil || c.PartMIME != nil) {
			v.errs.Add(at, "bypass is decided before the body is seen: use url, mime, direction, method or length")
		}
	}
}

func oneText(s string) Strings {
	if s == "" {
		return nil
	}
	return Strings{s}
}

// item checks that exactly one key is there, and its values.
func (v *rulesValidator) item(path, names string, keys []key) {
	found := 0
	for i := range keys {
		k := &keys[i]
		if k.values == nil {
			continue
		}
		found++
		v.list(path+"."+k.name, k)
	}
	if found != 1 {
		v.errs.Add(path, "an item has exactly one key, one of %s", names)
	}
}

func (v *rulesValidator) list(path string, k *key) {
	v.values += len(k.values)
	if len(k.values) == 0 || len(k.values) > maxList {
		v.errs.Add(path, "a list holds 1 to %d values", maxList)
		return
	}
	for i, s := range k.values {
		at := listPath(path, k.values, i)
		if s == "" || len(s) > maxValue+len(RegexPrefix) || strings.ContainsAny(s, "\x00\r\n") {
			v.errs.Add(at, "a value has 1 to %d bytes and stands on one line", maxValue)
			continue
		}
		if s != strings.TrimSpace(s) {
			v.errs.Add(at, "%q has white space around it", s)
			continue
		}
		if err := k.check(s); err != nil {
			v.errs.Add(at, "%v", err)
		}
	}
}

// pattern is a text, a mask or a regular expression.
func (v *rulesValidator) pattern(s string) error {
	if expr, ok := strings.CutPrefix(s, RegexPrefix); ok {
		v.regexes++
		return checkRegex(expr)
	}
	return checkMask(s)
}

func checkMask(s string) error {
	if strings.Count(s, "*") > maxStars {
		return fmt.Errorf("mask %.40q has more than %d stars", s, maxStars)
	}
	return nil
}

func checkAddress(s string) error {
	_, err := ParseAddressRange(s)
	return err
}

func checkSize(s string) error {
	_, err := ParseSizeRange(s)
	return err
}

// checkMIME wants "type/subtype", either with masks, without parameters.
func checkMIME(s string) error {
	main, sub, ok := strings.Cut(s, "/")
	if !ok || !isMIMEName(main) || !isMIMEName(sub) {
		return fmt.Errorf("%q is not a media type such as application/pdf or image/*", s)
	}
	return checkMask(s)
}

func isMIMEName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !isTokenChar(r) && r != '?' })
}

// isTokenChar follows RFC 9110 section 5.6.2.
func isTokenChar(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func checkWord(s string) error {
	if len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return !isTokenChar(r) || r == '*' }) {
		return fmt.Errorf("%q is not the name of a type, such as pe, zip or pdf", s)
	}
	return nil
}

func checkMethod(s string) error {
	if len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return !isTokenChar(r) || r == '*' }) {
		return fmt.Errorf("%q is not a method, such as GET", s)
	}
	if s != strings.ToUpper(s) {
		return fmt.Errorf("methods are in capitals: %s", strings.ToUpper(s))
	}
	return nil
}

func checkDirection(s string) error {
	if s != "request" && s != "response" {
		return fmt.Errorf("%q is not request or response", s)
	}
	return nil
}

func checkHex(digits int) func(string) error {
	return func(s string) error {
		if _, err := hex.DecodeString(s); err != nil || len(s) != digits {
			return fmt.Errorf("%q is not a digest of %d hexadecimal digits", s, digits)
		}
		return nil
	}
}
