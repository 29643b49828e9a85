package settings

import (
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Locate finds the lines of errors that were found after Parse, as by a compiler
// of rules. A document that cannot be read gives them without lines.
func Locate(doc []byte, errs Errors) Problems {
	var root yaml.Node
	_ = yaml.Unmarshal(doc, &root) // then nothing is found in it
	return locate(&root, errs)
}

// locate finds the line of each error's field. A field that the document leaves
// to its default gets the line of the nearest parent that is there.
func locate(root *yaml.Node, errs Errors) Problems {
	out := make(Problems, 0, len(errs))
	for _, e := range errs {
		p := Problem{Path: e.Path, Text: e.Text}
		if n := nodeAt(root, e.Path); n != nil {
			p.Line, p.Column = n.Line, n.Column
		}
		out = append(out, p)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Line < out[j].Line })
	return out
}

func nodeAt(n *yaml.Node, path string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n.Kind == 0 {
		return nil
	}
	for _, step := range splitPath(path) {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// splitPath cuts "a.b[2].c" into a, b, [2], c.
func splitPath(path string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(path, "[", ".["), func(r rune) bool { return r == '.' })
}

func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		i, err := strconv.Atoi(strings.Trim(step, "[]"))
		if err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}
