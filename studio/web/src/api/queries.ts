import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { ProblemError } from "@/api/problem";
import { tellError } from "@/components/tell";

/** A session that has ended shows the page to sign in, wherever one is. */
function onError(error: unknown): void {
  if (error instanceof ProblemError && error.status === 401 && error.code !== "PASSWORD_WRONG") {
    queries.setQueryData(["session"], null);
  }
}

export const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({
    onError(error, _variables, _context, mutation) {
      onError(error);
      if (!mutation.meta?.quiet) tellError(error); // quiet: its page shows the error itself
    },
  }),
  defaultOptions: {
    // The studio may run on this very machine: that a browser sees no network says nothing about it.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 5_000,
      retry: (count, error) => count < 2 && !(error instanceof ProblemError && error.status < 500),
    },
  },
});
