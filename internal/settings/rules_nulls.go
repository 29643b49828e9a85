package settings

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// nullRules finds keys without a value inside rules and workspaces. To the
// decoder such a key is not there, and a condition that is not there fits
// everything: whoever deletes the last item of a list must not open a rule to
// all by it.
func nullRules(root *yaml.Node) Errors {
	var errs Errors
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 {
		return nil
	}
	if rules := child(root.Content[0], "rules"); rules != nil {
		for _, table := range []string{"bypass", "access", "protection"} {
			nullItems(&errs, "rules."+table, child(rules, table))
		}
	}
	nullItems(&errs, "workspaces", child(root.Content[0], "workspaces"))
	return errs
}

func nullItems(errs *Errors, path string, list *yaml.Node) {
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for i, item := range list.Content {
		nullValues(errs, fmt.Sprintf("%s[%d]", path, i), item)
	}
}

// nullValues does not follow aliases: what they stand for is looked at where it
// is written.
func nullValues(errs *Errors, path string, n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			errs.Add(path, "there is no value here; write one, or leave the key out")
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			nullValues(errs, path+"."+n.Content[i].Value, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			nullValues(errs, fmt.Sprintf("%s[%d]", path, i), item)
		}
	}
}
