import { useEffect, useState } from "react";

/** What a one-time link has after its `#`, which goes from the address at once: no history and no screenshot keeps it. */
export function useSecret(): string {
  const [secret, setSecret] = useState(() => window.location.hash.slice(1));
  useEffect(() => {
    function take(): void {
      const found = window.location.hash.slice(1);
      if (!found) return;
      setSecret(found);
      window.history.replaceState(window.history.state, "", window.location.pathname);
    }
    take();
    window.addEventListener("hashchange", take); // another link, opened in the same tab
    return () => window.removeEventListener("hashchange", take);
  }, []);
  return secret;
}
