// The shapes of the public API, as /openapi.json describes them.

export type Status = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";
export type Mode = "stateless" | "session" | "event";
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface ErrorJson {
  code: string;
  message: string;
  hint?: string;
  [more: string]: Json | undefined;
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  model_calls: number;
  tool_calls: number;
  cost_usd: number;
}

export interface Run {
  id: string;
  agent: string;
  release: string;
  mode: Mode;
  session: string | null;
  status: Status;
  input: Json;
  output: Json | null;
  error: ErrorJson | null;
  attempt: number;
  metadata: JsonObject;
  tenant: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  usage: Usage;
  subject: string | null;
  priority: number;
  due_at: string | null;
  deadline_at: string | null;
  parent: string | null;
  origin: string | null;
}

export interface Step {
  key: string;
  kind: string;
  name: string;
  status: "started" | "succeeded" | "failed";
  attempt: number;
  input: Json | null;
  output: Json | null;
  error: ErrorJson | null;
  started_at: string;
  finished_at: string | null;
  once: boolean;
  due_at: string | null;
}

export interface RunEvent {
  type: string;
  run: string;
  seq: number;
  at: string;
  [more: string]: Json | undefined;
}

export interface Answer {
  verdict: "approve" | "edit" | "reject" | "respond" | "expired";
  edited?: Json;
  response?: string;
  reason?: string;
  by?: string;
}

export interface Review {
  id: string;
  run: string;
  agent: string;
  question: string;
  details: JsonObject;
  status: string;
  created_at: string;
  expires_at: string | null;
  answer: Answer | null;
  kind: string;
  step: string;
  decided_at: string | null;
}

export interface Agent {
  name: string;
  mode: Mode;
  releases: string[];
  description: string;
  input_schema: JsonObject;
  output_schema: JsonObject;
  keep: number | string | boolean;
  concurrency: number;
  timeout: number | null;
  session_ttl: number | null;
}

export interface Session {
  key: string;
  agent: string;
  tenant: string;
  turns: number;
  version: number;
  state: JsonObject;
  created_at: string;
  updated_at: string;
  expires_at: string | null;
}

export interface Turn {
  number: number;
  run: string;
  status: Status;
  input: Json;
  output: Json | null;
  finished_at: string;
}

export interface PageOf<T> {
  items: T[];
  next_cursor: string | null;
}

export const LIVE: readonly Status[] = ["queued", "running", "waiting"];
export const STATUSES: readonly Status[] = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];

export function isLive(status: Status): boolean {
  return LIVE.includes(status);
}
