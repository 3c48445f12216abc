import type { Catalog } from "./catalog";
import { pathOf } from "./td";

const gather = 300; // a model changes many things at once
const again = 30_000;
const patience = 10_000;

/**
 * Fills a catalog and keeps it as the server's directory is, by its stream of
 * changes, which is open before the list is read, or a change between both would
 * be missed. A page that nobody looks at lets go of the stream, because a browser
 * opens only a few connections to one server, and goes on where it was when it is
 * seen again. Where no stream comes through the list is read all the same, and
 * one that could not be read is read again.
 */
export function followDirectory(catalog: Catalog): void {
  let source: EventSource | null = null;
  let last = "";
  let timer = 0;
  let retry = 0;
  const changed = new Set<string>();

  const load = () => {
    clearTimeout(retry);
    catalog.load().catch(() => (retry = window.setTimeout(load, again))); // until then values are shown bare
  };
  const renew = () => {
    const ids = [...changed];
    changed.clear();
    timer = 0;
    catalog.renew(ids).catch(() => undefined); // what could not be read stays as it was
  };
  const hear = (event: Event) => {
    const { data, lastEventId } = event as MessageEvent<string>;
    last = lastEventId;
    const id = pathOf((JSON.parse(data) as { id: string }).id);
    if (event.type === "thing_deleted") {
      changed.delete(id);
      catalog.drop(id);
      return;
    }
    changed.add(id);
    timer ||= window.setTimeout(renew, gather);
  };
  const open = () => {
    source = new EventSource(`/api/things/events${last && `?since=${encodeURIComponent(last)}`}`);
    for (const type of ["thing_created", "thing_updated", "thing_deleted"]) source.addEventListener(type, hear);
    for (const type of ["hello", "resync"]) {
      source.addEventListener(type, (event) => {
        last = (event as MessageEvent<string>).lastEventId;
        load();
      });
    }
    source.onerror = () => {
      if (!last && !catalog.loaded) load(); // better once than never
      // The browser tries again by itself, but not after a refusal.
      if (source?.readyState === EventSource.CLOSED) setTimeout(look, again);
    };
  };
  const look = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source || source.readyState === EventSource.CLOSED) {
      open();
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
  if (document.hidden) load();
  else retry = window.setTimeout(() => catalog.loaded || load(), patience); // a proxy may hold the stream back
}
