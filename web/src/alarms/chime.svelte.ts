import type { Priority } from "./alarm";

/** How each priority sounds: how often, how high (Hz). The most urgent is the highest and the longest. */
const tones: Record<Priority, { times: number; pitch: number }> = {
  1: { times: 3, pitch: 880 },
  2: { times: 2, pitch: 660 },
  3: { times: 1, pitch: 520 },
  4: { times: 1, pitch: 440 },
};
const loud = 0.16;
const beep = 0.16; // seconds
const gap = 0.1;

/** The sound of alarms, made by the browser itself. It lets none out before somebody has clicked or pressed a key on the page. */
export class Chime {
  /** Whether the browser waits for somebody to touch the page. */
  blocked = $state(false);
  /** Whether it can make sound at all. */
  readonly possible = typeof AudioContext !== "undefined";
  #context: AudioContext | null = null;

  /** To be called in a click or a key; does nothing once there is sound. */
  async wake(): Promise<void> {
    if (!this.possible) return;
    try {
      this.#context ??= new AudioContext();
      await this.#context.resume();
    } catch {
      this.#context = null; // no device to play on
    }
    this.blocked = this.#context?.state !== "running";
  }

  /** Says whether it sounded. */
  play(priority: Priority): boolean {
    const context = this.#context;
    if (context?.state !== "running") {
      this.blocked = this.possible;
      return false;
    }
    const { times, pitch } = tones[priority];
    for (let i = 0; i < times; i++) {
      const at = context.currentTime + i * (beep + gap);
      const gain = context.createGain();
      // Without a slope it would crack.
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(loud, at + 0.015);
      gain.gain.setValueAtTime(loud, at + beep - 0.03);
      gain.gain.linearRampToValueAtTime(0, at + beep);
      const tone = context.createOscillator();
      tone.frequency.value = pitch;
      tone.connect(gain).connect(context.destination);
      tone.start(at);
      tone.stop(at + beep);
    }
    return true;
  }
}
