import { createHash } from 'node:crypto';

/** What is stored of a random secret of 256 bits, which needs no slow hash. */
export const hashOfSecret = (secret: string) => createHash('sha256').update(secret).digest('base64url');
