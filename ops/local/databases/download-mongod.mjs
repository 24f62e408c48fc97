/** Downloads the MongoDB for this machine into MONGOMS_DOWNLOAD_DIR; mongod.mjs runs it as a process. */
import { MongoBinary } from 'mongodb-memory-server-core';

await MongoBinary.getPath();
