package page

import (
	_ "embed" // the built-in page
	"strings"

	"sluice/internal/tx"
)

//go:embed builtin.html
var builtinPage string

// language is what Sluice itself says in one language.
type language struct {
	tag        string
	words      []string // of the built-in page: placeholder and word in turn
	directions [2]string
	reasons    map[tx.Reason]string
	contact    string
	byDefault  string // the default protection policy
}

// english is the language of templates for which Sluice has no words.
func english() *language {
	return &language{
		tag: "en",
		words: []string{
			"{lang}", "en", "{title}", "Blocked by %APPLICATION%", "{heading}", "This was blocked",
			"{threat}", "Threat", "{rule}", "Rule", "{details}", "Details", "{user}", "User", "{time}", "Time",
			"{help}", "If you think this is wrong, ask %CONTACT% and tell them this number:",
		},
		directions: [2]string{"request", "response"},
		contact:    "your administrator",
		byDefault:  "default protection policy",
		reasons: map[tx.Reason]string{
			tx.NoReason:      "Your organisation's rules do not allow this.",
			tx.ByRule:        "A rule of your organisation does not allow this.",
			tx.Malware:       "It contains malware.",
			tx.Encrypted:     "It is protected by a password, so nobody can tell what is in it.",
			tx.Macro:         "It is a document with macros, and macros can harm your computer.",
			tx.EngineError:   "It could not be scanned: the scan engine does not answer. Try again in a moment.",
			tx.TimedOut:      "It could not be scanned in the time that is allowed for it.",
			tx.OverLimit:     "It is too large or too deeply packed to be scanned whole.",
			tx.BadEncoding:   "It is coded in a way that cannot be read, so it could not be scanned.",
			tx.BadContent:    "It is damaged, so it could not be scanned whole.",
			tx.Partial:       "Only a part of it was asked for, and a part cannot be scanned reliably.",
			tx.BadURL:        "Its address is written in a way that has no single meaning.",
			tx.InternalError: "It could not be judged because of a fault in the gateway.",
			tx.Cured:         "Dangerous parts were taken out of it.",
		},
	}
}

func german() *language {
	return &language{
		tag: "de",
		words: []string{
			"{lang}", "de", "{title}", "Gesperrt von %APPLICATION%", "{heading}", "Das wurde gesperrt",
			"{threat}", "Bedrohung", "{rule}", "Regel", "{details}", "Näheres", "{user}", "Benutzer", "{time}", "Zeit",
			"{help}", "Ist das ein Irrtum? Dann fragen Sie %CONTACT% und nennen Sie diese Nummer:",
		},
		directions: [2]string{"Anfrage", "Antwort"},
		contact:    "Ihre Administration",
		byDefault:  "Standard-Schutzrichtlinie",
		reasons: map[tx.Reason]string{
			tx.NoReason:      "Die Regeln Ihrer Organisation erlauben das nicht.",
			tx.ByRule:        "Eine Regel Ihrer Organisation erlaubt das nicht.",
			tx.Malware:       "Es enthält Schadsoftware.",
			tx.Encrypted:     "Es ist mit einem Kennwort geschützt, deshalb kann niemand sagen, was darin ist.",
			tx.Macro:         "Es ist ein Dokument mit Makros, und Makros können Ihrem Rechner schaden.",
			tx.EngineError:   "Es konnte nicht geprüft werden: Das Prüfprogramm antwortet nicht. Versuchen Sie es gleich noch einmal.",
			tx.TimedOut:      "Es konnte nicht in der erlaubten Zeit geprüft werden.",
			tx.OverLimit:     "Es ist zu groß oder zu tief verpackt, um ganz geprüft zu werden.",
			tx.BadEncoding:   "Es ist so kodiert, dass es nicht gelesen und deshalb nicht geprüft werden konnte.",
			tx.BadContent:    "Es ist beschädigt und konnte deshalb nicht ganz geprüft werden.",
			tx.Partial:       "Es wurde nur ein Teil angefordert, und ein Teil lässt sich nicht verlässlich prüfen.",
			tx.BadURL:        "Seine Adresse ist so geschrieben, dass sie nicht eindeutig ist.",
			tx.InternalError: "Es konnte wegen eines Fehlers im Gateway nicht beurteilt werden.",
			tx.Cured:         "Gefährliche Teile wurden entfernt.",
		},
	}
}

// page is the built-in page in this language.
func (l *language) page() string { return strings.NewReplacer(l.words...).Replace(builtinPage) }

// builtin is the closed list of languages that Sluice speaks.
func builtin() []*language { return []*language{english(), german()} }
