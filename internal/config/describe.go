package config

// Section is a table of the file, for those who describe it: name and
// explanation are empty for the keys at the top.
type Section struct {
	Name, Doc string
	Keys      []Key
}

// Key is one key of the file.
type Key struct {
	Name    string // with its section: "pop3.listen"
	Default string // in TOML
	Doc     string
}

// Sections gives every key, in the order in which they are printed.
func Sections() []Section {
	c := Default()
	all := make([]Section, len(sections))
	for i, s := range sections {
		all[i] = Section{Name: s.name, Doc: s.doc}
		for _, k := range s.keys() {
			all[i].Keys = append(all[i].Keys, Key{k.name, value(k.field(c)), k.doc})
		}
	}
	return all
}
