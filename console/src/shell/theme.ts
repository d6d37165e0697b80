// Dark or light: as the system says, unless the person chose. The choice stays in this browser.

export type Theme = "system" | "light" | "dark";
const KEY = "pilothouse.theme";

export function readTheme(): Theme {
    try {
        const kept = localStorage.getItem(KEY);
        return kept === "light" || kept === "dark" ? kept : "system";
    } catch {
        return "system"; // storage is refused in some private windows
    }
}

export function applyTheme(theme: Theme = readTheme()): void {
    document.documentElement.dataset.theme = theme;
    try {
        if (theme === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, theme);
    } catch {
        // It holds for this page.
    }
    window.dispatchEvent(new Event("themechange"));
}
