import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./styles/tokens.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/call";
import { Notices } from "./parts/notices";
import { Shell } from "./shell/shell";
import { applyTheme } from "./shell/theme";

applyTheme();

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      // What the node refuses it refuses again; only what may pass by itself is asked for once more.
      retry: (failures, error) => failures < 3 && error instanceof Problem && [0, 429, 502, 503, 504].includes(error.status),
      retryDelay: (failures) => Math.min(4000, 500 * 2 ** failures),
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Notices>
        <Shell />
      </Notices>
    </QueryClientProvider>
  </StrictMode>,
);
