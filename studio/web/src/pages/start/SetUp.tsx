import { Button, Divider, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { setSession } from "@/api/session";
import { NewPassword } from "@/components/NewPassword";
import { Wrong } from "@/components/Wrong";
import { StartFrame } from "@/pages/start/StartFrame";
import classes from "@/pages/start/start.module.css";
import { useSecret } from "@/pages/start/useSecret";
import { useStart } from "@/pages/start/useStart";

/** The first start: whoever has the printed link becomes the first user, an admin. */
export default function SetUp() {
  const secret = useSecret();
  const start = useStart();
  if (start.isPending) {
    return (
      <StartFrame title="Welcome to Onsight">
        <Skeleton h={260} role="status" aria-label="Loading" />
      </StartFrame>
    );
  }
  if (start.data?.set_up) {
    return (
      <StartFrame title="This studio is set up" about="Its first user exists already, so this link does nothing any more.">
        <Button component={Link} to="/" size="md">
          Sign in
        </Button>
        <Text size="sm" c="dimmed">
          No account yet? Ask an admin of this studio to invite you.
        </Text>
      </StartFrame>
    );
  }
  if (!secret) {
    return (
      <StartFrame title="Welcome to Onsight" about="This page needs the whole link, with what stands after its #.">
        <Text size="sm">
          The studio printed it in the terminal, or in its log, when it started. Open that link once more. If it is
          gone, start the studio again: it prints a new one as long as nobody is set up.
        </Text>
        <Wrong error={start.error} />
      </StartFrame>
    );
  }
  return <Form secret={secret} />;
}

function Form({ secret }: { secret: string }) {
  const navigate = useNavigate();
  const form = useForm({ initialValues: { name: "", email: "", password: "" } });
  const create = useMutation({
    meta: { quiet: true },
    mutationFn: (given: typeof form.values) => take(api.POST("/studio/v1/setup", { body: { ...given, secret } })),
    onSuccess: (me: Schemas["Me"]) => {
      setSession(me);
      void navigate("/", { replace: true });
    },
  });
  const { name, email, password } = form.values;
  return (
    <StartFrame title="Welcome to Onsight" about="Create the first account of this studio. It is an admin's.">
      <form onSubmit={form.onSubmit((given) => create.mutate(given))}>
        <Stack gap="md">
          <TextInput label="Name" autoComplete="name" required withAsterisk={false} maxLength={200} autoFocus {...form.getInputProps("name")} />
          <TextInput
            label="E-mail"
            description="You sign in with it. Nothing is sent there."
            type="email"
            name="email"
            autoComplete="username"
            required
            withAsterisk={false}
            maxLength={320}
            {...form.getInputProps("email")}
          />
          <NewPassword name="password" known={[name, email.split("@")[0] ?? ""]} {...form.getInputProps("password")} value={password} />
          <Wrong error={create.error} />
          <Button type="submit" size="md" loading={create.isPending}>
            Create account
          </Button>
        </Stack>
      </form>
      <Divider label="What happens next" />
      <ol className={classes.steps}>
        <li>You are signed in, and this link stops working.</li>
        <li>You make a project, add photos and label them.</li>
        <li>You invite the others by links of their own.</li>
      </ol>
    </StartFrame>
  );
}
