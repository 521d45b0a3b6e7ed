import { Button, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { ProblemError } from "@/api/problem";
import { setSession } from "@/api/session";
import { NewPassword } from "@/components/NewPassword";
import { Trouble } from "@/components/Trouble";
import { Wrong } from "@/components/Wrong";
import { StartFrame } from "@/pages/start/StartFrame";
import { useSecret } from "@/pages/start/useSecret";

/** By the one-time link of an invitation, or of a new password. */
export default function ChoosePassword() {
  const secret = useSecret();
  const owner = useQuery({
    queryKey: ["link", secret],
    enabled: secret !== "",
    staleTime: Infinity,
    gcTime: 0,
    queryFn: () => take(api.POST("/studio/v1/password/link", { body: { secret } })),
  });
  if (!secret) return <NoLink title="This page needs the whole link" about="Open it once more as it was handed to you, with what stands after its #." />;
  if (isInvalid(owner.error)) return <UsedLink />;
  if (owner.data) return <Form key={secret} secret={secret} owner={owner.data} />;
  return (
    <StartFrame title="Choose a password">
      {owner.isError ? <Trouble error={owner.error} retry={() => void owner.refetch()} /> : <Skeleton h={200} role="status" aria-label="Loading" />}
    </StartFrame>
  );
}

function Form({ secret, owner: { email, name, has_password } }: { secret: string; owner: Schemas["LinkOwner"] }) {
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
  if (isInvalid(choose.error)) return <UsedLink />;

  function submit(event: FormEvent): void {
    event.preventDefault();
    choose.mutate();
  }

  return (
    <StartFrame
      title={has_password ? "Choose a new password" : `Welcome, ${name}`}
      about={
        has_password
          ? "This link works once. With the new password you are signed in here, and signed out everywhere else."
          : "You are invited to this studio. Choose a password; this link works once."
      }
    >
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            label="E-mail"
            description="You sign in with it from now on."
            type="email"
            name="email"
            autoComplete="username"
            value={email}
            readOnly
            variant="filled"
          />
          <NewPassword
            name="password"
            autoFocus
            known={[name, email.split("@")[0] ?? ""]}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <Wrong error={choose.error} />
          <Button type="submit" size="md" loading={choose.isPending}>
            Save and sign in
          </Button>
        </Stack>
      </form>
    </StartFrame>
  );
}

function UsedLink() {
  return <NoLink title="This link does not work any more" about="It was used already, a newer one took its place, or it is too old." />;
}

function NoLink({ title, about }: { title: string; about: string }) {
  return (
    <StartFrame title={title} about={about}>
      <Text size="sm">Ask an admin of this studio for a new link. If you know your password, sign in with it.</Text>
      <Button component={Link} to="/" variant="light">
        Sign in
      </Button>
    </StartFrame>
  );
}

function isInvalid(error: unknown): boolean {
  return error instanceof ProblemError && error.code === "LINK_INVALID";
}
