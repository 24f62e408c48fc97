import { once } from 'node:events';
import type { Express } from 'express';
import type { Connection } from 'mongoose';
import { type Config, readConfig } from '../../../runtime/config.ts';
import { openMongo } from '../../../runtime/databases/connections.ts';
import type { Dependencies } from '../../../runtime/observe/health.ts';
import { openLog } from '../../../runtime/observe/log.ts';
import { closeOnSignal } from '../../../runtime/shutdown.ts';
import { type Collections, openCollections, prepareCollections } from '../../../store/collections.ts';

/** Runs a process of a plain side, with the same configuration, log, connections and shutdown as Stampede's processes. */
export async function runPlainProcess(
  role: string,
  open: (parts: {
    config: Config;
    collections: Collections;
    dependencies: Dependencies;
  }) => Promise<{ app: Express; close: () => Promise<void> }>,
): Promise<void> {
  const config = readConfig();
  const log = openLog(config, role);
  const { mongo, close: closeMongo } = openMongo(config, log);
  const collections = openCollections(mongo);
  await mongo.asPromise();
  await prepareCollections(collections);
  const { app, close } = await open({ config, collections, dependencies: { mongodb: () => ping(mongo) } });
  const http = app.listen(config.PORT, config.HOST);
  await once(http, 'listening');
  closeOnSignal(
    async () => {
      http.close();
      await close();
      await closeMongo();
    },
    log,
    config.STOP_DEADLINE_MS,
  );
}

const ping = (mongo: Connection) => mongo.db?.admin().ping() ?? Promise.reject();
