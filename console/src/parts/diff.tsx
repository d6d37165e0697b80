// What would change, line by line. Said with signs and words, too, and not by colour alone.

import { diffLines } from "diff";
import { useMemo } from "react";

export function DiffBlock({ before, after, label }: { before: string; after: string; label: string }) {
    const parts = useMemo(
        () => diffLines(before.endsWith("\n") ? before : `${before}\n`, after.endsWith("\n") ? after : `${after}\n`),
        [before, after],
    );
    const isSame = parts.every((part) => !part.added && !part.removed);
    if (isSame) return <p className="faint">Nothing is changed yet.</p>;
    return (
        <pre className="diff" tabIndex={0} role="group" aria-label={label}>
            {parts.flatMap((part, index) =>
                part.value
                    .replace(/\n$/, "")
                    .split("\n")
                    .map((line, at) => (
                        <span key={`${index}.${at}`} className={part.added ? "added" : part.removed ? "removed" : ""}>
                            <span aria-hidden="true">{part.added ? "+ " : part.removed ? "− " : "  "}</span>
                            {(part.added || part.removed) && (
                                <span className="unseen">{part.added ? "added: " : "removed: "}</span>
                            )}
                            {line}
                            {"\n"}
                        </span>
                    )),
            )}
        </pre>
    );
}
