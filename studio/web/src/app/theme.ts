import { createTheme, Drawer, Modal, Notification, Tooltip } from "@mantine/core";

const CLOSE = { closeButtonProps: { "aria-label": "Close" } };

/** One look for all pages. Fonts are the system's: none is fetched. */
export const theme = createTheme({
  primaryColor: "indigo",
  primaryShade: 7, // white text on it has a contrast of 5
  defaultRadius: "md",
  cursorType: "pointer",
  headings: { fontWeight: "650" },
  components: {
    Drawer: Drawer.extend({ defaultProps: CLOSE }),
    Modal: Modal.extend({ defaultProps: CLOSE, styles: { title: { fontWeight: 650 } } }),
    Notification: Notification.extend({ defaultProps: CLOSE }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 300, withArrow: true, multiline: true, maw: 320 } }),
  },
});

/** Of a page's `<style>` elements: the Content-Security-Policy lets no other in. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}
