// Who is here: without keys whoever is at this machine; with keys, who has signed in. Nothing else is asked before.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext } from "react";

import { ask, get, Problem, setCsrfToken } from "../api/call";
import type { Signin } from "../api/types";
import { useNotices } from "../parts/notices";
import { Trouble } from "../parts/parts";
import { SignInPage } from "../pages/signin";

const Who = createContext<Signin | null>(null);

export function useWho(): Signin | null {
    return useContext(Who);
}

export function Gate({ children }: { children: ReactNode }) {
    const client = useQueryClient();
    const found = useQuery({
        queryKey: ["signin"],
        queryFn: async () => {
            const who = await get<Signin>("v1/signin");
            setCsrfToken(who.csrf_token);
            return who;
        },
        staleTime: Infinity,
    });
    if (found.error instanceof Problem && found.error.status === 401) {
        return (
            <SignInPage
                onDone={(who) => {
                    setCsrfToken(who.csrf_token);
                    client.clear();
                    client.setQueryData(["signin"], who);
                    void found.refetch();
                }}
            />
        );
    }
    if (found.data) return <Who.Provider value={found.data}>{children}</Who.Provider>;
    if (found.error) {
        return (
            <main className="signin">
                <h1>Pilothouse</h1>
                <Trouble error={found.error} again={() => void found.refetch()} />
            </main>
        );
    }
    return null;
}

/** Who is signed in, and the way out; nothing where there are no keys. */
export function SignedIn() {
    const who = useWho();
    const { fail } = useNotices();
    if (!who?.csrf_token) return null;
    const leave = async () => {
        try {
            await ask("v1/signin", { method: "DELETE" });
            location.reload();
        } catch (error) {
            fail(error);
        }
    };
    return (
        <div className="row">
            <span title={`${who.kind}, tenant ${who.tenant}, may ${who.scopes.join(", ")}`}>{who.name}</span>
            <button type="button" className="ghost small" onClick={() => void leave()}>
                Sign out
            </button>
        </div>
    );
}
