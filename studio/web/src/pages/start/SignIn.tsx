import { Anchor, Button, Code, Collapse, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { useRef } from "react";
import { api, take } from "@/api/client";
import { ProblemError } from "@/api/problem";
import { setSession } from "@/api/session";
import { Wrong } from "@/components/Wrong";
import { duration } from "@/components/words";
import { StartFrame } from "@/pages/start/StartFrame";
import { useStart } from "@/pages/start/useStart";

/** For everybody who is not signed in, at whatever address; the page behind it comes once they are. */
export default function SignIn() {
  const start = useStart();
  return start.data?.set_up === false ? <NobodyYet /> : <Form />;
}

function NobodyYet() {
  return (
    <StartFrame title="Almost there" about="This studio runs, and has no user yet.">
      <Text size="sm">
        When it started, it printed a link in the terminal, or in its log. Open that link to create the first account:
      </Text>
      <Code block>{`${window.location.origin}/setup#…`}</Code>
      <Text size="sm" c="dimmed">
        The link is gone? Start the studio again with <Code>onsight studio</Code>: it prints a new one as long as nobody
        is set up.
      </Text>
    </StartFrame>
  );
}

function Form() {
  const [forgotten, help] = useDisclosure(false);
  const passwordField = useRef<HTMLInputElement>(null);
  const form = useForm({ initialValues: { email: "", password: "" } });
  const signIn = useMutation({
    meta: { quiet: true },
    mutationFn: (given: typeof form.values) => take(api.POST("/studio/v1/session", { body: given })),
    onSuccess: setSession,
    onError: () => {
      form.setFieldValue("password", "");
      passwordField.current?.focus();
    },
  });
  return (
    <StartFrame title="Sign in">
      <form onSubmit={form.onSubmit((given) => signIn.mutate(given))}>
        <Stack gap="md">
          <TextInput
            label="E-mail"
            type="email"
            name="email"
            autoComplete="username"
            required
            withAsterisk={false}
            maxLength={320}
            autoFocus
            {...form.getInputProps("email")}
          />
          <PasswordInput
            ref={passwordField}
            label="Password"
            name="password"
            autoComplete="current-password"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": "Show or hide what is typed", tabIndex: 0 }}
            {...form.getInputProps("password")}
          />
          <Wrong error={signIn.error}>{wordsOf(signIn.error)}</Wrong>
          <Button type="submit" size="md" loading={signIn.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
      <Stack gap="xs" align="flex-start">
        <Anchor component="button" type="button" size="sm" onClick={help.toggle} aria-expanded={forgotten}>
          Forgotten your password, or no account?
        </Anchor>
        <Collapse expanded={forgotten}>
          <Stack gap="xs">
            <Text size="sm" c="dimmed">
              Ask an admin of this studio: they make a link for you, with which you choose a new password. No mail is
              sent.
            </Text>
            <Text size="sm" c="dimmed">
              You are the admin? On the studio&apos;s machine <Code>onsight studio link {form.values.email || "EMAIL"}</Code>{" "}
              prints such a link.
            </Text>
          </Stack>
        </Collapse>
      </Stack>
    </StartFrame>
  );
}

/** Nothing where the studio's own words do. */
function wordsOf(error: unknown): string | undefined {
  if (!(error instanceof ProblemError)) return undefined;
  if (error.code === "PASSWORD_WRONG") {
    return "This e-mail address and this password do not go together. Check both, and whether Caps Lock is on.";
  }
  if (error.code !== "TRY_LATER" || error.retryAfterS === null) return undefined;
  const at = new Date(Date.now() + error.retryAfterS * 1000);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return `Too many wrong passwords for this address. Try again in ${duration(error.retryAfterS)}, at ${time}.`;
}
