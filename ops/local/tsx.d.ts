/** Imported for what it does: from then on TypeScript files can be imported. */
declare module 'tsx';
