import { Group, PasswordInput, type PasswordInputProps, Progress, Stack, Text } from "@mantine/core";
import { LEAST_CHARACTERS, strengthOf } from "@/components/strength";

interface Props extends PasswordInputProps {
  value: string;
  /** What others know of this person. */
  known?: string[];
}

/** A field for a new password, with what it is worth. */
export function NewPassword({ value, known, label = "Password", ...others }: Props) {
  const strength = strengthOf(value, known);
  return (
    <Stack gap={6}>
      <PasswordInput
        label={label}
        description={`At least ${LEAST_CHARACTERS} characters; spaces are welcome.`}
        autoComplete="new-password"
        required
        withAsterisk={false}
        minLength={LEAST_CHARACTERS}
        visibilityToggleButtonProps={{ "aria-label": "Show or hide what is typed", tabIndex: 0 }}
        value={value}
        {...others}
      />
      {value && (
        <>
          <Progress value={strength.value} color={strength.colour} size={4} aria-label="Strength" />
          <Group gap={6} aria-live="polite">
            <Text size="xs" fw={600}>
              {strength.word}
            </Text>
            <Text size="xs" c="dimmed">
              {strength.hint}
            </Text>
          </Group>
        </>
      )}
    </Stack>
  );
}
