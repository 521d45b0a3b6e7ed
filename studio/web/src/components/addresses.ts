/** Where an image's pixels are, for `<img src>`. */

export function thumbnailAddress(project: string, image: string): string {
  return `/studio/v1/projects/${project}/images/${image}/thumbnail`;
}
