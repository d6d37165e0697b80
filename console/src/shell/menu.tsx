// The pages there are: their place in the menu, their key after `g`, and what shows them.

import type { ReactNode } from "react";

import { RunPage } from "../pages/run";
import { RunsPage } from "../pages/runs";
import type { Place } from "../pure/route";

export interface Entry {
  name: string;
  title: string;
  key: string;
  icon: string;
}

export const MENU: Entry[] = [
  { name: "runs", title: "Runs", key: "r", icon: "M2 4h9M2 8h12M2 12h6" },
];

interface Shown {
  menu: string;
  title: string;
  show: (place: Place) => ReactNode;
}

/** What an address leads to; undefined for one that leads nowhere. */
export function pageOf(parts: string[]): Shown | undefined {
  const [name = "runs", first] = parts;
  switch (name) {
    case "runs":
      if (first !== undefined) return { menu: "runs", title: `Run ${first}`, show: () => <RunPage key={first} id={first} /> };
      return { menu: "runs", title: "Runs", show: (place) => <RunsPage query={place.query} /> };
    default:
      return undefined;
  }
}
