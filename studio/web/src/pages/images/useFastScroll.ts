import { type RefObject, useEffect, useState } from "react";

const FAST_PX_PER_MS = 5; // about five screens a second: nobody sees a picture then
const QUIET_MS = 120;

/** Whether the element is scrolled too fast for what passes to be worth a request. */
export function useFastScroll(scroller: RefObject<HTMLElement | null>): boolean {
  const [isFast, setFast] = useState(false);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    let [offset, moment, timer] = [element.scrollTop, performance.now(), 0];
    function onScroll(): void {
      const now = performance.now();
      const speed = Math.abs(element!.scrollTop - offset) / Math.max(1, now - moment);
      [offset, moment] = [element!.scrollTop, now];
      setFast(speed > FAST_PX_PER_MS);
      window.clearTimeout(timer);
      timer = window.setTimeout(() => setFast(false), QUIET_MS);
    }
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      element.removeEventListener("scroll", onScroll);
      window.clearTimeout(timer);
    };
  }, [scroller]);
  return isFast;
}
