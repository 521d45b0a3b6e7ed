import { useCallback, useInsertionEffect, useRef } from "react";

/** The same function for good, which does what the latest one does: whoever gets it need not be drawn again. */
export function useSteady<Arguments extends unknown[], Result>(
  latest: (...given: Arguments) => Result,
): (...given: Arguments) => Result {
  const held = useRef(latest);
  useInsertionEffect(() => {
    held.current = latest;
  });
  return useCallback((...given: Arguments) => held.current(...given), []);
}
