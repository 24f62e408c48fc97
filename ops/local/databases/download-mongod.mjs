/** A program of its own, run by mongod.mjs: downloads the MongoDB for this machine into MONGOMS_DOWNLOAD_DIR. */
import { MongoBinary } from 'mongodb-memory-server-core';

await MongoBinary.getPath();
