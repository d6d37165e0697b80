// What has changed in the node, as far as it is worth looking again.

import { useEffect, useRef } from "react";

const LOOK_EVERY = 3000;

/** Calls `look` with the ids of the runs that changed, or null when it is not known which. */
export function useChanges(look: (runs: Set<string> | null) => void): void {
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const timer = window.setInterval(() => document.visibilityState === "visible" && latest.current(null), LOOK_EVERY);
    return () => window.clearInterval(timer);
  }, []);
}
