package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

// checkpoints keep the last values, so that a start has to read only the log
// after them. A checkpoint is written beside the one before and becomes the
// current one by its head alone, so a kill halfway leaves the old one whole.
type checkpoints struct {
	bucket *bus.Bucket
	bus    *bus.Bus
	alone  bool // no other node writes into the bucket
	hold   *bus.Hold

	// filed returns when the facts up to a bundle are stored. The facts behind a
	// checkpoint are told again by the log, those before it are not.
	filed func(ctx context.Context, seq uint64) error

	mu         sync.Mutex // one save at a time
	seq        uint64     // of the newest checkpoint
	generation string
	chunks     int
	size       int // bytes of it
}

// A start has to read the log after the newest checkpoint: what came in every,
// or muchLog bytes, and what came while it was made. A large checkpoint is made
// less often, so that no more is written for checkpoints than for the log.
const (
	every   = 10 * time.Second
	muchLog = 2 << 20
)

// much is how many bytes of the log are worth a checkpoint.
func (k *checkpoints) much() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return uint64(max(muchLog, k.size))
}

// A head names the current checkpoint. One of another epoch belongs to a log
// that is gone, and is not read.
type head struct {
	Generation string `json:"generation"`
	Epoch      string `json:"epoch"`
	Seq        uint64 `json:"seq"`
	Chunks     int    `json:"chunks"`
}

func (h head) key(i int) string { return fmt.Sprintf("%s/%d", h.Generation, i) }

const headKey = "head"

// restore gives the twins their last values. A checkpoint that cannot be read
// is reported and costs only time: the log is then read from its beginning.
func (k *checkpoints) restore(ctx context.Context, twins *twin.Twins, log *slog.Logger) error {
	b, err := k.bucket.Get(ctx, headKey)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the checkpoint: %w", err)
	}
	var h head
	if err := json.Unmarshal(b, &h); err != nil || !k.bus.Continues(h.Epoch) {
		log.Warn("the checkpoint is not of this log and is not used", "error", err)
		return nil
	}
	chunks := make([][]byte, h.Chunks)
	for i := range chunks {
		if chunks[i], err = k.bucket.Get(ctx, h.key(i)); err != nil {
			log.Warn("the checkpoint is not whole and is not used", "error", err)
			return nil
		}
	}
	seq, err := twins.Restore(chunks)
	if err != nil {
		log.Warn("the checkpoint cannot be read and is not used", "error", err)
		return nil
	}
	if err := k.bus.Beyond(ctx, seq); err != nil {
		return err
	}
	k.seq, k.generation, k.chunks, k.size = seq, h.Generation, h.Chunks, sizeOf(chunks)
	k.hold.Read(seq)
	if k.alone {
		k.sweep(ctx, log)
	}
	return nil
}

// sweep removes what a kill left halfway. What another node is writing looks
// just like it.
func (k *checkpoints) sweep(ctx context.Context, log *slog.Logger) {
	keys, err := k.bucket.Keys(ctx)
	if err != nil {
		log.Warn("old checkpoints were not removed", "error", err)
		return
	}
	for _, key := range keys {
		if key != headKey && !strings.HasPrefix(key, k.generation+"/") {
			_ = k.bucket.Delete(ctx, key) // the next start tries again
		}
	}
}

// keep saves now and then until ctx ends. Written counts the bytes of the log.
func (k *checkpoints) keep(ctx context.Context, twins *twin.Twins, written func() uint64, log *slog.Logger) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	at, bytes := time.Now(), written()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if w := written(); time.Since(at) >= every || w-bytes >= k.much() {
				k.save(ctx, twins, log)
				at, bytes = time.Now(), w
			}
		}
	}
}

func (k *checkpoints) save(ctx context.Context, twins *twin.Twins, log *slog.Logger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if twins.Seq() == k.seq {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	seq, chunks := twins.Checkpoint()
	h := head{Generation: rand.Text(), Epoch: k.bus.Epoch(), Seq: seq, Chunks: len(chunks)}
	err := k.filed(ctx, seq)
	if err == nil {
		err = k.write(ctx, h, chunks)
	}
	if err != nil {
		if ctx.Err() == nil {
			log.Warn("the checkpoint was not saved; a start would read more of the log", "error", err)
		}
		return
	}
	old, n := head{Generation: k.generation}, k.chunks
	k.seq, k.generation, k.chunks, k.size = seq, h.Generation, h.Chunks, sizeOf(chunks)
	k.hold.Read(seq)
	for i := range n {
		_ = k.bucket.Delete(ctx, old.key(i)) // sweep finds what stays
	}
}

func sizeOf(chunks [][]byte) (n int) {
	for _, c := range chunks {
		n += len(c)
	}
	return n
}

func (k *checkpoints) write(ctx context.Context, h head, chunks [][]byte) error {
	for i, c := range chunks {
		if err := k.bucket.Put(ctx, h.key(i), c); err != nil {
			return err
		}
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return k.bucket.Put(ctx, headKey, b)
}

// written counts what this node gave to the log.
func (s *stages) written() uint64 { return s.ingest.Stats().Bytes }
