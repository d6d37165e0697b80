// The frames of what is sent from a page: a form, a question with two answers, and a button by itself. Whatever stands in one is sent once,
// however often the button is pressed while the answer is under way.

import { type ComponentProps, type ReactNode, useState } from "react";

import { useNotices } from "./notices";
import { Dialog, Trouble } from "./parts";

interface Sent {
    /** What the button says that sends. */
    action: string;
    /** It stops or gives away something: its button says so by its colour. */
    isDanger?: boolean;
    /** False while something is missing. */
    isReady?: boolean;
    /** What the button says that closes. */
    close?: string;
    children: ReactNode;
}

interface FormProps extends Sent, Omit<ComponentProps<"form">, "action" | "onSubmit" | "children"> {
    /** What the button says while the answer is under way, where that takes long. */
    meanwhile?: string;
    /** Without it there is no button that closes. */
    onClose?: () => void;
    /** What it throws is told above the buttons, and the form stays as it was filled in. */
    onSend: () => Promise<void>;
}

interface ActProps {
    className?: string;
    children: ReactNode;
    onSend: () => Promise<void>;
}

export function Form({
    action,
    meanwhile = action,
    isDanger = false,
    isReady = true,
    close = "Close",
    children,
    onClose,
    onSend,
    ...frame
}: FormProps) {
    const [isSending, setSending] = useState(false);
    const [error, setError] = useState<unknown>(null);
    const send = async () => {
        if (!isReady || isSending) return;
        setSending(true);
        setError(null);
        try {
            await onSend();
        } catch (fault) {
            setError(fault);
        } finally {
            setSending(false);
        }
    };
    return (
        <form
            {...frame}
            onSubmit={(event) => {
                event.preventDefault();
                void send();
            }}
        >
            {children}
            {error !== null && <Trouble error={error} />}
            <footer>
                {onClose && (
                    <button type="button" onClick={onClose}>
                        {close}
                    </button>
                )}
                <button type="submit" className={isDanger ? "danger" : "main"} disabled={!isReady || isSending}>
                    {isSending ? meanwhile : action}
                </button>
            </footer>
        </form>
    );
}

/** A question: the first answer leaves all as it is, the second closes the dialog and does it. A refusal is a notice. */
export function Confirm({
    title,
    action,
    isDanger = false,
    isReady = true,
    close,
    children,
    onClose,
    onSure,
}: Sent & { title: string; close: string; onClose: () => void; onSure: () => Promise<void> }) {
    const { fail } = useNotices();
    return (
        <Dialog title={title} onClose={onClose}>
            {children}
            <footer>
                <button type="button" onClick={onClose}>
                    {close}
                </button>
                <button
                    type="button"
                    className={isDanger ? "danger" : "main"}
                    disabled={!isReady}
                    onClick={() => {
                        onClose();
                        onSure().catch(fail);
                    }}
                >
                    {action}
                </button>
            </footer>
        </Dialog>
    );
}

/** A button that sends by itself. A refusal is a notice. */
export function Act({ className = "small", children, onSend }: ActProps) {
    const { fail } = useNotices();
    const [isSending, setSending] = useState(false);
    const send = async () => {
        setSending(true);
        await onSend().catch(fail);
        setSending(false);
    };
    return (
        <button type="button" className={className} disabled={isSending} onClick={() => void send()}>
            {children}
        </button>
    );
}
