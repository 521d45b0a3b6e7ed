import { ActionIcon, Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { IconPhotoSearch, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, take } from "@/api/client";
import { similarAddress } from "@/components/addresses";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";
import classes from "@/pages/similar/similar.module.css";
import { Tile } from "@/pages/similar/Tile";

/** Images that look like those that were chosen. */
export function Search({ project, images }: { project: string; images: string[] }) {
  const found = useQuery({
    queryKey: ["similar", project, images],
    enabled: images.length > 0,
    queryFn: () =>
      take(api.GET("/studio/v1/projects/{project}/similarity", { params: { path: { project }, query: { image: images, limit: 120 } } })),
  });
  if (images.length === 0) {
    return (
      <Empty icon={IconPhotoSearch} title="Like which image?">
        <Text c="dimmed">Choose one or several images in the grid, and there “Find similar”.</Text>
        <Button component={Link} to={`/p/${project}/images`}>
          To the images
        </Button>
      </Empty>
    );
  }
  return (
    <Stack gap="lg">
      <Group gap="md">
        {images.slice(0, 6).map((image) => (
          <div key={image} style={{ width: 120 }}>
            <Tile project={project} image={image} name="Searched" keep />
          </div>
        ))}
        {images.length > 6 && <Text c="dimmed">and {images.length - 6} more</Text>}
      </Group>
      {found.isError && <Trouble error={found.error} retry={() => void found.refetch()} />}
      {found.isPending && <Skeleton h={300} radius="lg" />}
      {found.data && (
        <div className={classes.tiles} role="list" aria-label="Similar images">
          {found.data.images.map((each) => (
            <Tile key={each.image} project={project} image={each.image} name={each.name} score={each.score.toFixed(2)}>
              <ActionIcon component={Link} to={similarAddress(project, [each.image])} variant="filled" radius="xl" aria-label={`Like ${each.name}`}>
                <IconSearch size={16} />
              </ActionIcon>
            </Tile>
          ))}
        </div>
      )}
    </Stack>
  );
}
