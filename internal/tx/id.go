package tx

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// ID is the receipt of one transaction. It stands on the block page, in the
// ICAP answer and in the event, so that a user can read it to an administrator
// over the phone: 20 characters, digits and lower-case letters without i, l, o
// and u. IDs sort by time (48 bits of milliseconds, then 48 random bits).
type ID [12]byte

// IDLen is the length of an ID's text form in bytes.
const IDLen = 20

var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a fresh ID for a transaction that starts at now.
func NewID(now time.Time) ID {
	var id ID
	ms := uint64(now.UnixMilli())
	r := rand.Uint64()
	binary.BigEndian.PutUint64(id[0:8], ms<<16|r&0xffff)
	binary.BigEndian.PutUint32(id[8:12], uint32(r>>32))
	return id
}

// Time is the millisecond in which the transaction started.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[0:8]) >> 16))
}

// Append adds the text form to b and returns the extended slice.
func (id ID) Append(b []byte) []byte { return idText.AppendEncode(b, id[:]) }

// String is the text form, IDLen bytes.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// IsZero tells whether the ID was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the text form.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != IDLen {
		return id, fmt.Errorf("transaction id %q: want %d characters, have %d", s, IDLen, len(s))
	}
	if _, err := idText.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("transaction id %q: %w", s, err)
	}
	if id.String() != s { // the last character has bits to spare
		return ID{}, fmt.Errorf("transaction id %q: the last character cannot be", s)
	}
	return id, nil
}
