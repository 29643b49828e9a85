package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxDocument bounds a settings document, in bytes.
const MaxDocument = 64 << 20

// Problem is one thing wrong with a settings document.
type Problem struct {
	Line   int    // 1 is the first; 0 when the document as a whole is meant
	Column int    // 1 is the first; 0 when not known
	Path   string // such as "rules.access[3].match"; empty for a syntax error
	Text   string // what is wrong and what to write instead
}

// Problems are all that is wrong with a document, in the order of its lines.
type Problems []Problem

// Error lists the problems, one a line, each beginning with its place.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String is "line 12: rules.access[3].name: text".
func (p Problem) String() string {
	s := p.Text
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	return s
}

// Parse reads a document strictly over the defaults and validates it whole. The
// error is Problems. Unknown and repeated fields are refused.
func Parse(doc []byte) (*Settings, error) {
	if len(doc) > MaxDocument {
		return nil, Problems{{Text: fmt.Sprintf("the document is larger than %v", Size(MaxDocument))}}
	}
	var root yaml.Node
	if err := decodeOne(doc, &root); err != nil {
		return nil, problemsOf(err)
	}
	s := Default()
	if root.Kind != 0 {
		d := yaml.NewDecoder(bytes.NewReader(doc))
		d.KnownFields(true)
		if err := d.Decode(s); err != nil {
			return nil, problemsOf(err)
		}
	}
	if errs := append(nullRules(&root), s.Validate()...); len(errs) > 0 {
		return nil, locate(&root, errs)
	}
	return s, nil
}

// decodeOne reads the only YAML document; a second one is an error.
func decodeOne(doc []byte, root *yaml.Node) error {
	d := yaml.NewDecoder(bytes.NewReader(doc))
	if err := d.Decode(root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("line %d: a second YAML document begins; keep all settings in one", second.Line)
}

var (
	lineError    = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	wrongShape   = regexp.MustCompile("^cannot unmarshal !!(\\w+) (?:`(.*)` )?into (\\S+)$")
)

// problemsOf turns the library's errors into ours.
func problemsOf(err error) Problems {
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	var out Problems
	for _, t := range texts {
		p := Problem{Text: strings.TrimPrefix(t, "yaml: ")}
		if m := lineError.FindStringSubmatch(t); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			p.Text = m[2]
		}
		if m := unknownField.FindStringSubmatch(p.Text); m != nil {
			p.Text = fmt.Sprintf("unknown field %q", m[1])
		} else if m := wrongShape.FindStringSubmatch(p.Text); m != nil {
			p.Text = fmt.Sprintf("%s does not fit here: want %s", shapeName(m[1], m[2]), goShape(m[3]))
		}
		out = append(out, p)
	}
	return out
}

func shapeName(tag, value string) string {
	switch tag {
	case "map":
		return "a mapping"
	case "seq":
		return "a list"
	case "null":
		return "an empty value"
	}
	return fmt.Sprintf("%q", value)
}

func goShape(t string) string {
	switch {
	case strings.HasPrefix(t, "[]"):
		return "a list"
	case strings.HasPrefix(t, "map["), strings.HasPrefix(t, "settings."):
		return "a mapping"
	case t == "bool":
		return "true or false"
	case strings.HasPrefix(t, "int"):
		return "a whole number"
	}
	return "a text"
}
