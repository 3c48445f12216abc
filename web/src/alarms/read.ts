import { ApiError, getPage } from "../app/api";
import { older, type Alarm } from "./alarm";

const page = 1000;
const tries = 5;

/** All that stand or are shelved now. A list that changes under the pages is read again. */
export async function readAll(): Promise<Alarm[]> {
  for (let n = 1; ; n++) {
    try {
      // Shelved ones are read as well by themselves: some of them stand no more.
      return [...(await pages(`/api/alarms?limit=${page}`)), ...(await pages(`/api/alarms?state=shelved&limit=${page}`))];
    } catch (err) {
      if (!(err instanceof ApiError) || err.status !== 409 || n === tries) throw err;
    }
  }
}

async function pages(path: string): Promise<Alarm[]> {
  const all: Alarm[] = [];
  for (let next = path; next; ) {
    const got = await getPage<Alarm>(next);
    all.push(...got.list);
    next = got.next;
  }
  return all;
}

/** A replay has numbers of its own, so its steps are told apart by when they were. */
export function earlier(a: Alarm, b: Alarm): boolean {
  return older({ ...a, seq: undefined }, { ...b, seq: undefined });
}
