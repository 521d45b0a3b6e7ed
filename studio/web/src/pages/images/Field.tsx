import { Button, Paper, Skeleton } from "@mantine/core";
import { IconRefresh, IconSearchOff } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import { EmptyProject } from "@/pages/images/EmptyProject";
import { fits, isEmpty, type WantedControls } from "@/pages/images/filter";
import classes from "@/pages/images/images.module.css";
import { type Gallery, reloadImages } from "@/pages/images/pages";
import type { Door } from "@/pages/images/upload/UploadDoor";

interface Props {
  project: string;
  gallery: Gallery;
  controls: WantedControls;
  mayUpload: boolean;
  door: Door;
  /** Where there are images. */
  children: ReactNode;
}

/** Where the images are; what to do where there are none. */
export function Field({ project, gallery, controls, mayUpload, door, children }: Props) {
  const { total, isPending, error, inSight } = gallery;
  const { filter } = controls.wanted;
  const left = inSight.filter((image) => !fits(image, filter)).length;
  if (error) return <Trouble error={error} retry={() => void reloadImages(project)} />;
  if (isPending) return <Skeleton className={classes.loading} h="100%" aria-label="Loading" />;
  if (total === 0 && isEmpty(filter)) {
    return <EmptyProject mayUpload={mayUpload} onFiles={door.files} onFolder={door.folder} onCamera={door.camera} />;
  }
  if (total === 0) {
    return (
      <Empty icon={IconSearchOff} title="No image fits these filters">
        <Button variant="light" onClick={controls.clear}>
          Show all images
        </Button>
      </Empty>
    );
  }
  return (
    <>
      {children}
      {left > 0 && (
        <Paper className={classes.left} withBorder shadow="md" radius="xl" px="sm" py={4}>
          <Button variant="subtle" size="compact-sm" leftSection={<IconRefresh size={16} />} onClick={() => void reloadImages(project)}>
            {count(left, "image fits", "images fit")} the filter no more. Show anew
          </Button>
        </Paper>
      )}
    </>
  );
}
