/** Where an image's pixels are, for `<img src>`. */

export function thumbnailAddress(project: string, image: string): string {
  return `/studio/v1/projects/${project}/images/${image}/thumbnail`;
}

export function imageAddress(project: string, image: string): string {
  return `/studio/v1/projects/${project}/images/${image}/file`;
}

/** Of the page that shows what looks like these images. */
export function similarAddress(project: string, images: Iterable<string>): string {
  return `/p/${project}/similar?images=${[...images].join(",")}`;
}
