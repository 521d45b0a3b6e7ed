import { Alert } from "@mantine/core";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, take } from "@/api/client";
import { useConnected } from "@/api/connection";
import { queries } from "@/api/queries";

const EVERY_MS = 3_000;

/** Says so while the studio does not answer, asks again and again, and brings the page up to date once it does. */
export function LostConnection() {
  const connected = useConnected();
  const wasLost = useRef(false);
  useQuery({
    queryKey: ["connection"],
    queryFn: () => take(api.GET("/studio/v1/start")),
    enabled: !connected,
    refetchInterval: EVERY_MS,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  useEffect(() => {
    if (connected && wasLost.current) void queries.invalidateQueries();
    wasLost.current = !connected;
  }, [connected]);
  if (connected) return null;
  return (
    <Alert className="lost" color="red.8" variant="filled" role="alert" p="xs" icon={<IconPlugConnectedX size={18} />}>
      No connection to the studio. Nothing that you change now is kept. Trying again …
    </Alert>
  );
}
