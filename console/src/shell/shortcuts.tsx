// What the keys do, and the switch for those who do not want them.

import { useState } from "react";

import { Dialog } from "../parts/parts";
import { shortcutsAreOn, turnShortcuts } from "./keys";
import type { Entry } from "./menu";

const GROUPS: [string, [string, string][]][] = [
    [
        "Everywhere",
        [
            ["?", "this list"],
            ["/", "to the search field"],
            ["Esc", "close a dialog"],
        ],
    ],
    [
        "Lists",
        [
            ["j", "next row"],
            ["k", "row before"],
            ["Enter", "open the row"],
        ],
    ],
    [
        "Reviews",
        [
            ["a", "approve"],
            ["e", "edit"],
            ["x", "reject"],
            ["r", "respond"],
            ["j k", "next, before"],
        ],
    ],
];

export function Shortcuts({ menu, onClose }: { menu: Entry[]; onClose: () => void }) {
    const [isOn, setOn] = useState(shortcutsAreOn());
    const groups: [string, [string, string][]][] = [
        ["Go to", menu.map((entry) => [`g ${entry.key}`, entry.title])],
        ...GROUPS,
    ];
    return (
        <Dialog title="Keyboard shortcuts" onClose={onClose}>
            <div className="shortcuts">
                {groups.map(([title, keys]) => (
                    <section key={title}>
                        <h3>{title}</h3>
                        <dl>
                            {keys.map(([key, does]) => (
                                <div key={key + does}>
                                    <dt>
                                        {key.split(" ").map((one) => (
                                            <kbd key={one}>{one}</kbd>
                                        ))}
                                    </dt>
                                    <dd>{does}</dd>
                                </div>
                            ))}
                        </dl>
                    </section>
                ))}
            </div>
            <label className="check">
                <input
                    type="checkbox"
                    checked={isOn}
                    onChange={(event) => {
                        setOn(event.target.checked);
                        turnShortcuts(event.target.checked);
                    }}
                />
                Single keys act as shortcuts
            </label>
        </Dialog>
    );
}
