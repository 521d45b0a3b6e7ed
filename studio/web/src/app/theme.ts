import { createTheme, Modal, Tooltip } from "@mantine/core";

/** One look for all pages. Fonts are the system's: none is fetched. */
export const theme = createTheme({
  primaryColor: "indigo",
  primaryShade: { light: 7, dark: 5 },
  defaultRadius: "md",
  cursorType: "pointer",
  headings: { fontWeight: "650" },
  components: {
    Modal: Modal.extend({ styles: { title: { fontWeight: 650 } } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 300, withArrow: true, multiline: true, maw: 320 } }),
  },
});

/** Of a page's `<style>` elements: the Content-Security-Policy lets no other in. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}
