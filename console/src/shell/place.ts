// Where the person is: the address of the page as React state.

import { useSyncExternalStore } from "react";

import { type Place, readPlace, writePlace } from "../pure/route";

let seen: { hash: string; place: Place } = { hash: "", place: readPlace("") };

function current(): Place {
    if (seen.hash !== location.hash) seen = { hash: location.hash, place: readPlace(location.hash) };
    return seen.place;
}

function subscribe(tell: () => void): () => void {
    window.addEventListener("hashchange", tell);
    return () => window.removeEventListener("hashchange", tell);
}

export function usePlace(): Place {
    return useSyncExternalStore(subscribe, current);
}

export function go(parts: string[], query: Record<string, string | null | undefined> = {}): void {
    location.hash = writePlace(parts, query);
}

/** Changes the query of the page without a new entry in the history: a filter is not a page. */
export function adjust(query: Record<string, string | null | undefined>): void {
    const place = current();
    const address = writePlace(place.parts, { ...place.query, ...query });
    if (address === location.hash) return;
    history.replaceState(null, "", address);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export { writePlace as to };
