// A table: the names of its columns, and a frame that a keyboard can scroll where it is wider than the page.

import type { ReactNode } from "react";

/** A word; "" for the buttons of a row, whose name is read out and not seen; or one made by `numbers`. */
export type Column = string | { unseen: string } | { number: string; title?: string };

/** Columns of numbers, set to the right; one with a word on what it means shows that when it is pointed at. */
export function numbers(...names: (string | [name: string, title: string])[]): Column[] {
    return names.map((one) => (typeof one === "string" ? { number: one } : { number: one[0], title: one[1] }));
}

/** The children are the rows. */
export function Table({
    label,
    columns,
    className,
    children,
}: {
    label: string;
    columns: Column[];
    className?: string;
    children: ReactNode;
}) {
    return (
        <div className="scroll" tabIndex={0} role="group" aria-label={label}>
            <table className={className}>
                <thead>
                    <tr>{columns.map(headOf)}</tr>
                </thead>
                <tbody>{children}</tbody>
            </table>
        </div>
    );
}

function headOf(column: Column): ReactNode {
    if (column === "") return headOf({ unseen: "What can be done" });
    if (typeof column === "string")
        return (
            <th key={column} scope="col">
                {column}
            </th>
        );
    if ("unseen" in column)
        return (
            <th key={column.unseen} scope="col">
                <span className="unseen">{column.unseen}</span>
            </th>
        );
    return (
        <th key={column.number} scope="col" className="number" title={column.title}>
            {column.number}
        </th>
    );
}
