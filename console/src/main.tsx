import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./styles/tokens.css";
import "./styles/shell.css";
import "./styles/controls.css";
import "./styles/marks.css";
import "./styles/boxes.css";
import "./styles/text.css";
import "./styles/runs.css";
import "./styles/run.css";
import "./styles/overview.css";
import "./styles/reviews.css";
import "./styles/pages.css";

import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/call";
import { Notices } from "./parts/notices";
import { Gate } from "./shell/gate";
import { Shell } from "./shell/shell";
import { applyTheme } from "./shell/theme";

applyTheme();

const client: QueryClient = new QueryClient({
    // A cookie that ran out shows in the first answer that is refused: then who is here is asked again.
    queryCache: new QueryCache({
        onError: (error, query) => {
            if (error instanceof Problem && error.status === 401 && query.queryKey[0] !== "signin")
                void client.invalidateQueries({ queryKey: ["signin"] });
        },
    }),
    defaultOptions: {
        queries: {
            staleTime: 1000,
            // What the node refuses it refuses again; only what may pass by itself is asked for once more.
            retry: (failures, error) =>
                failures < 3 && error instanceof Problem && [0, 429, 502, 503, 504].includes(error.status),
            retryDelay: (failures) => Math.min(4000, 500 * 2 ** failures),
        },
    },
});

createRoot(document.getElementById("root")!).render(
    <StrictMode>
        <QueryClientProvider client={client}>
            <Notices>
                <Gate>
                    <Shell />
                </Gate>
            </Notices>
        </QueryClientProvider>
    </StrictMode>,
);
