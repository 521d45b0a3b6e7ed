import { AppShell, Burger, Center, Group, Loader, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { lazy, Suspense, useEffect, useRef } from "react";
import { Link, Outlet, ScrollRestoration, useLocation, useMatch } from "react-router";
import { useSession } from "@/api/session";
import { AccountMenu } from "@/app/AccountMenu";
import { Mark } from "@/app/Mark";
import { ProjectSwitch } from "@/app/ProjectSwitch";
import { Sections } from "@/app/Sections";
import { Trouble } from "@/components/Trouble";
import SignIn from "@/pages/start/SignIn";
import { StartFrame } from "@/pages/start/StartFrame";

const UploadTray = lazy(() => import("@/pages/images/upload/Tray"));

/** The frame around every page: who is not signed in sees the form for it, at whatever address. */
export function Shell() {
  const session = useSession();
  const [opened, menu] = useDisclosure(false);
  const project = useMatch("/p/:project/*")?.params.project;
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const seen = useRef(pathname);
  useEffect(() => {
    menu.close();
    if (seen.current === pathname) return;
    seen.current = pathname;
    // The keyboard goes on in the new page, unless the page has put it somewhere itself.
    if (!main.current?.contains(document.activeElement)) main.current?.focus({ preventScroll: true });
  }, [pathname]);

  if (session.isPending) {
    return (
      <Center h="100vh">
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  if (session.isError) {
    return (
      <StartFrame title="No answer">
        <Trouble error={session.error} retry={() => void session.refetch()} />
      </StartFrame>
    );
  }
  if (session.data === null) return <SignIn />;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={project ? { width: 208, breakpoint: "md", collapsed: { mobile: !opened } } : undefined}
      padding={{ base: "md", sm: "lg" }}
    >
      <a className="skip" href="#main">
        To the content
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap" miw={0}>
            {project && (
              <Burger opened={opened} onClick={menu.toggle} hiddenFrom="md" size="sm" aria-label="Sections" />
            )}
            <UnstyledButton component={Link} to="/" aria-label="Onsight: all projects">
              <Mark />
            </UnstyledButton>
            {project && <ProjectSwitch project={project} />}
          </Group>
          <AccountMenu me={session.data} />
        </Group>
      </AppShell.Header>
      {project && (
        <AppShell.Navbar p="sm">
          <Sections project={project} />
        </AppShell.Navbar>
      )}
      <AppShell.Main id="main" ref={main} className="main" tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
      <Suspense>
        <UploadTray />
      </Suspense>
      <ScrollRestoration />
    </AppShell>
  );
}
