import { Button, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, take } from "@/api/client";
import { ProblemError } from "@/api/problem";
import { setSession } from "@/api/session";
import { NewPassword } from "@/components/NewPassword";
import { Wrong } from "@/components/Wrong";
import { StartFrame } from "@/pages/start/StartFrame";
import { useSecret } from "@/pages/start/useSecret";

/** By the one-time link of an invitation, or of a new password. */
export default function ChoosePassword() {
  const secret = useSecret();
  const navigate = useNavigate();
  const [password, setPassword] = useState("");
  const choose = useMutation({
    meta: { quiet: true },
    mutationFn: () => take(api.POST("/studio/v1/password", { body: { secret, password } })),
    onSuccess: (me) => {
      setSession(me);
      void navigate("/", { replace: true });
    },
  });
  const used = choose.error instanceof ProblemError && choose.error.code === "LINK_INVALID";

  function submit(event: FormEvent): void {
    event.preventDefault();
    choose.mutate();
  }

  if (!secret || used) {
    return (
      <StartFrame
        title={used ? "This link does not work any more" : "This page needs the whole link"}
        about={
          used
            ? "It was used already, a newer one took its place, or it is too old."
            : "Open it once more as it was handed to you, with what stands after its #."
        }
      >
        <Text size="sm">Ask an admin of this studio for a new link. If you know your password, sign in with it.</Text>
        <Button component={Link} to="/" variant="light">
          Sign in
        </Button>
      </StartFrame>
    );
  }
  return (
    <StartFrame title="Choose a password" about="This link works once. With your new password you are signed in here, and nowhere else.">
      <form onSubmit={submit}>
        <Stack gap="md">
          <NewPassword name="password" autoFocus value={password} onChange={(event) => setPassword(event.currentTarget.value)} />
          <Wrong error={choose.error} />
          <Button type="submit" size="md" loading={choose.isPending}>
            Save and sign in
          </Button>
        </Stack>
      </form>
    </StartFrame>
  );
}
