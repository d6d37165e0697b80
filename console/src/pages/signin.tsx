// Where keys are asked for: the page that takes one. It is exchanged for a cookie that no script can read; the key
// itself is kept nowhere in the browser.

import { useState } from "react";

import { post } from "../api/call";
import type { Signin } from "../api/types";
import { Trouble } from "../parts/parts";

export function SignInPage({ onDone }: { onDone: (who: Signin) => void }) {
    const [key, setKey] = useState("");
    const [error, setError] = useState<unknown>(null);
    const [isSending, setSending] = useState(false);
    const send = async () => {
        setSending(true);
        setError(null);
        try {
            onDone(await post<Signin>("v1/signin", { key: key.trim() }));
        } catch (problem) {
            setError(problem);
        } finally {
            setSending(false);
        }
    };
    return (
        <main className="signin">
            <form
                className="card"
                aria-label="Sign in"
                onSubmit={(event) => {
                    event.preventDefault();
                    if (key.trim()) void send();
                }}
            >
                <p className="mark">
                    <span className="logo" aria-hidden="true" /> Pilothouse
                </p>
                <h1 tabIndex={-1}>Sign in</h1>
                <label className="field">
                    API key
                    <input
                        type="password"
                        autoComplete="current-password"
                        spellCheck={false}
                        placeholder="phk_…"
                        value={key}
                        onChange={(event) => setKey(event.target.value)}
                        autoFocus
                    />
                </label>
                {error !== null && <Trouble error={error} />}
                <footer>
                    <button type="submit" className="main" disabled={!key.trim() || isSending}>
                        Sign in
                    </button>
                </footer>
                <p className="faint">
                    Whoever runs this node makes keys with{" "}
                    <code>pilothouse keys create NAME --kind human --scope "*"</code>. You stay signed in for half a
                    day, in this browser only.
                </p>
            </form>
        </main>
    );
}
