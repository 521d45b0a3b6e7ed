import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";

/** Whether this studio has a user at all. */
export function useStart() {
  return useQuery({ queryKey: ["start"], queryFn: () => take(api.GET("/studio/v1/start")) });
}
