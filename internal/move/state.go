package move

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keys of the notes that a move leaves: in the source what was brought over, in
// the destination that it is the one to which that went.
const (
	sourceNote = "move"
	targetNote = "moved"
)

// state is what the note in the source says. It is there from the first copy
// to the moment at which the source has been emptied.
type state struct {
	// ID is in the destination too. Where it is not, that is not the maildrop
	// to which an earlier run brought anything.
	ID string `json:"id"`

	// Emptying says that what is not in the source any more was removed by the
	// move itself. The run that follows notes anew what there is.
	Emptying bool `json:"emptying,omitempty"`

	// There are the UIDs that were brought over and compared. Planned are those
	// that may have been copied: what of these is neither at the destination nor
	// kept aside there has to be copied still.
	There   []string `json:"there,omitempty"`
	Planned []string `json:"planned,omitempty"`

	// Unsure are as Planned, but for that what is aside there says nothing of
	// them: it was before, or it was another message.
	Unsure []string `json:"unsure,omitempty"`
}

func (s *state) exists() bool { return s.ID != "" }

// readState reads the notes of earlier runs: of those of this direction, and of
// those of the other one.
func (r *run) readState(ctx context.Context) (err error) {
	if r.dst == nil {
		return nil
	}
	if r.state, r.noted, err = between(ctx, r.src, r.dst); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	back, note, err := between(ctx, r.dst, r.src)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	r.back, r.wasSource = back, len(note) > 0
	return nil
}

// between reads what was brought from one maildrop into another, and gives the
// note of that too. Where that was brought elsewhere it says nothing.
func between(ctx context.Context, from, to *drop) (s state, note []byte, err error) {
	if note, err = from.Note(ctx, sourceNote); err != nil || len(note) == 0 {
		return state{}, nil, err
	}
	if err := json.Unmarshal(note, &s); err != nil || s.ID == "" {
		return state{}, note, fmt.Errorf("the note of an earlier move is damaged: remove the note %q of this maildrop, and everything is copied and compared anew", sourceNote)
	}
	id, _, err := to.target(ctx)
	if err != nil || id != s.ID {
		return state{}, note, err
	}
	return s, note, s.arrived(ctx, to)
}

// arrived finds out which of the messages that may have been copied were, and
// were removed by their user since: the destination keeps these aside, as long
// as it is not settled.
func (s *state) arrived(ctx context.Context, to *drop) error {
	if len(s.Planned) == 0 {
		return nil
	}
	kept, err := to.Kept(ctx)
	if err != nil {
		return err
	}
	aside := setOf(kept)
	s.Planned = slices.DeleteFunc(s.Planned, func(uid string) bool {
		_, here := to.at[uid]
		came := aside[uid] && !here
		if came {
			s.There = append(s.There, uid)
		}
		return came
	})
	return nil
}

// target reads the note in a destination: the ID, and the name whose mail it
// was, which early notes lack.
func (d *drop) target(ctx context.Context) (id, name string, err error) {
	note, err := d.Note(ctx, targetNote)
	id, name, _ = strings.Cut(string(note), " ")
	return id, name, err
}

// writeState writes the note, where it says something else by now.
func (r *run) writeState(ctx context.Context, s state) error {
	var note []byte
	if s.exists() {
		var err error
		if note, err = json.Marshal(s); err != nil {
			return err
		}
	}
	if !bytes.Equal(note, r.noted) {
		if err := r.src.SetNote(ctx, sourceNote, note); err != nil {
			return fmt.Errorf("what was brought over cannot be noted in the source: %w", err)
		}
	}
	r.state, r.noted = s, note
	return nil
}

// plan is what is to be done, as indices in the lists of both sides.
type plan struct {
	copy    []int // of the source: to be copied
	there   []int // of the source: brought over by an earlier run
	found   []int // of the source: at the destination, and nobody knows how complete
	dropped []int // of the source: removed at the destination by its user
	gone    []int // of the destination: came from the source, or went there once, and was removed there by its user

	// held are the UIDs of what stays at the destination although its user has
	// removed it from the source: the way back is not to bring it there again.
	held []string
}

// plan compares the two listings, and what is known of earlier runs.
func (r *run) plan() *plan {
	p := &plan{}
	there, planned := setOf(r.state.There), setOf(slices.Concat(r.state.Planned, r.state.Unsure))
	// What came from the destination once, and is gone there, was removed by its
	// user, unless a move was emptying it.
	var came map[string]bool
	if !r.back.Emptying {
		came = setOf(slices.Concat(r.back.There, r.back.Planned, r.back.Unsure))
	}
	for i := range r.src.list {
		uid := r.src.list[i].UID
		here := false
		if r.dst != nil {
			_, here = r.dst.at[uid]
		}
		switch {
		case here && there[uid]:
			p.there = append(p.there, i)
		case here:
			p.found = append(p.found, i)
		case (there[uid] || came[uid]) && !r.opts.Live:
			p.dropped = append(p.dropped, i)
		default:
			p.copy = append(p.copy, i)
		}
	}
	if !r.opts.Live || r.state.Emptying || r.dst == nil {
		return p
	}
	went, mayHaveGone := setOf(r.back.There), setOf(slices.Concat(r.back.Planned, r.back.Unsure))
	used := false
	for i := range r.dst.list {
		uid := r.dst.list[i].UID
		_, still := r.src.at[uid]
		switch {
		case still:
		case there[uid] || planned[uid] || went[uid]:
			p.gone = append(p.gone, i)
		case !mayHaveGone[uid]:
			used = true
		}
	}
	// Where something else puts mail it is in use, and what is gone from the
	// source is no reason to remove anything.
	if used {
		for _, i := range p.gone {
			p.held = append(p.held, r.dst.list[i].UID)
		}
		p.gone = nil
	}
	return p
}

func setOf(uids []string) map[string]bool {
	set := make(map[string]bool, len(uids))
	for _, uid := range uids {
		set[uid] = true
	}
	return set
}

// uids gives the UIDs of messages of the source.
func (r *run) uids(lists ...[]int) []string {
	var uids []string
	for _, i := range slices.Concat(lists...) {
		uids = append(uids, r.src.list[i].UID)
	}
	return uids
}

// partly is what there is to note where some messages failed: the others are
// over, and what their users remove does not come back.
func (r *run) partly(p *plan) state {
	failed := make(map[string]error)
	for _, f := range r.result.Failed {
		failed[f.UID] = f.Err
	}
	s := state{ID: r.state.ID, There: slices.Clone(p.held)}
	there, unsure := setOf(r.state.There), setOf(r.state.Unsure)
	for _, uid := range r.uids(p.there, p.dropped, p.copy, p.found) {
		other := (*otherError)(nil)
		switch err := failed[uid]; {
		case errors.As(err, &other):
			s.Unsure = append(s.Unsure, uid)
		case err == nil || there[uid]:
			s.There = append(s.There, uid)
		case unsure[uid]:
			s.Unsure = append(s.Unsure, uid)
		default:
			s.Planned = append(s.Planned, uid)
		}
	}
	return s
}

// unsure gives the UIDs of which the destination had something aside before they
// were copied, or another message.
func (r *run) unsure(ctx context.Context, p *plan) (map[string]bool, error) {
	if len(p.copy) == 0 {
		return setOf(r.state.Unsure), nil
	}
	kept, err := r.dst.Kept(ctx)
	return setOf(slices.Concat(r.state.Unsure, kept)), err
}

// begin notes what may be at the destination from now on, where nothing more is
// removed without a trace.
func (r *run) begin(ctx context.Context, p *plan) error {
	if len(p.copy)+len(p.found) > 0 {
		if err := r.dst.Settle(ctx, false); err != nil {
			return fmt.Errorf("destination: %w", err)
		}
	}
	s := state{ID: r.state.ID, There: append(r.uids(p.there, p.dropped), p.held...)}
	unsure, err := r.unsure(ctx, p)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	for _, uid := range r.uids(p.copy, p.found) {
		if unsure[uid] {
			s.Unsure = append(s.Unsure, uid)
		} else {
			s.Planned = append(s.Planned, uid)
		}
	}
	for _, i := range p.gone { // the move is going to set them aside
		s.Unsure = append(s.Unsure, r.dst.list[i].UID)
	}
	if !s.exists() {
		_, name, err := r.dst.target(ctx)
		if err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		if r.opts.Shared && name != "" && name != r.name {
			return fmt.Errorf("%w: that of %s", ErrOthers, name)
		}
		s.ID = rand.Text()
		if err := r.dst.SetNote(ctx, targetNote, []byte(s.ID+" "+r.name)); err != nil {
			return fmt.Errorf("the destination cannot be marked: %w", err)
		}
	}
	if err := r.writeState(ctx, s); err != nil {
		return err
	}
	// What went from there to here once says nothing any more: with this run
	// messages go the other way.
	if r.wasSource {
		if err := r.dst.SetNote(ctx, sourceNote, nil); err != nil {
			return fmt.Errorf("the note of an earlier move cannot be taken from the destination: %w", err)
		}
		r.wasSource = false
	}
	if err := r.src.Settle(ctx, true); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}
