package policy

// answer is what a criterion, a rule or a condition says of the facts: a truth
// value of Kleene's three-valued logic, in which and is min, or is max.
type answer uint8

const (
	no answer = iota
	notYet
	yes
)

var answerNames = [...]string{"no", "not yet", "yes"}

func (a answer) String() string { return answerNames[a] }

func not(a answer) answer { return yes - a }

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}
