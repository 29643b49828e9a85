package policy

// Needs tells what the rules look at, so that nothing is worked out in vain.
type Needs struct {
	// Access tells that some access rule looks at objects, Protection that
	// some protection rule does.
	Access, Protection bool
	// What any of them looks at.
	Type, FileName, PartMIME, Size, MD5, SHA256 bool
}

// Needs returns what this policy's rules look at.
func (p *Policy) Needs() Needs { return p.needs }

func (n *Needs) of(objects *bool, segments ...*segment) {
	for _, s := range segments {
		if s == nil {
			continue
		}
		for i := range s.rules {
			if !s.rules[i].enabled || !s.rules[i].objects {
				continue
			}
			*objects = true
			k := s.rules[i].kinds()
			n.Type = n.Type || k.has(kindType)
			n.FileName = n.FileName || k.has(kindFileName)
			n.PartMIME = n.PartMIME || k.has(kindPartMIME)
			n.Size = n.Size || k.has(kindSize)
			n.MD5 = n.MD5 || k.has(kindMD5)
			n.SHA256 = n.SHA256 || k.has(kindSHA256)
		}
	}
}
